"""The Bitrix24 side: reading from the portal and writing back."""
