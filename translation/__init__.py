"""Parts of run_translation.py: machine translation into English from an encoder."""
