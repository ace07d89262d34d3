"""What the agent does for sandbox_app: containers of tools, warm pools, sessions. No ORM, no Django."""
