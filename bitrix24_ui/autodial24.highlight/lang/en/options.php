<?php
$MESS['AUTODIAL24_HIGHLIGHT_ENABLED'] = 'Highlight calls of the autodialler';
$MESS['AUTODIAL24_HIGHLIGHT_LINES'] = 'Numbers of the autodialler\'s external lines, with commas; with a word and a colour of its own: autodial-debt=DEBT #b71c1c';
$MESS['AUTODIAL24_HIGHLIGHT_TAG'] = 'Word on the card (the same as in the line\'s name)';
$MESS['AUTODIAL24_HIGHLIGHT_COLOR'] = 'Colour of the header, #rrggbb';
$MESS['AUTODIAL24_HIGHLIGHT_SOUND'] = 'Address of a short sound; empty: none';
$MESS['AUTODIAL24_HIGHLIGHT_LINK'] = 'Show a link to the task on the card';
$MESS['AUTODIAL24_HIGHLIGHT_FIELD'] = 'Field of the task into which the autodialler writes the call';
$MESS['AUTODIAL24_HIGHLIGHT_SAVE'] = 'Save';
$MESS['AUTODIAL24_HIGHLIGHT_SAVED'] = 'Saved. The desktop app shows it after a restart.';
$MESS['AUTODIAL24_HIGHLIGHT_WRONG_TAG'] = 'The word may not be empty, nor hold quotes, an apostrophe, a backslash or angle brackets: they leave the app\'s call window empty.';
$MESS['AUTODIAL24_HIGHLIGHT_WRONG_COLOR'] = 'A colour is written as #6a1b9a.';
$MESS['AUTODIAL24_HIGHLIGHT_WRONG_LINES'] = 'Name at least one line: autodial, or autodial-debt=DEBT #b71c1c. A number holds no blanks; a word no comma, #, quotes, apostrophe, backslash or angle brackets.';
$MESS['AUTODIAL24_HIGHLIGHT_WRONG_SOUND'] = 'The sound\'s address begins with https:// or with /.';
$MESS['AUTODIAL24_HIGHLIGHT_WRONG_FIELD'] = 'A task\'s field begins with UF_, in capitals.';
