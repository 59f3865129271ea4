"""Towards Bitrix24: what is read of the portal, and what is written back."""
