<?php
$MESS['AUTODIAL24_HIGHLIGHT_NAME'] = 'Autodial24: calls of the autodialler highlighted';
$MESS['AUTODIAL24_HIGHLIGHT_DESCRIPTION'] = 'Highlights the call card of a call that comes from the autodialler, in the browser and in the desktop app. Changes no file of others.';
$MESS['AUTODIAL24_HIGHLIGHT_NO_COPY'] = 'The files could not be copied to #DIR#: may it be written to?';
$MESS['AUTODIAL24_HIGHLIGHT_UNINSTALL'] = 'Uninstalling Autodial24';
$MESS['AUTODIAL24_HIGHLIGHT_KEEP'] = 'Keep the settings (after an update they are as before)';
$MESS['AUTODIAL24_HIGHLIGHT_REMOVE'] = 'Uninstall';
