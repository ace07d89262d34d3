"""The tools as a server of the Model Context Protocol: `/mcp`, stateless, for three revisions of it."""
