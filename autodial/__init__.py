"""
The dialler: takes call tasks out of a Bitrix24 portal and has Asterisk call the clients.

Pure rules (``model``, ``outcomes``, ``states``, ``retry``, ``hours``, ``decide``, ``phones``,
``texts``) do no I/O; ``service`` wires everything; the rest are the services in between.
"""
