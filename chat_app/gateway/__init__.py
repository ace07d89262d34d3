"""`/v1`: one OpenAI-compatible door for every model. A lean ASGI application beside Django's handler."""
