"""A model on this machine, by the protocol of OpenAI."""
