"""The Monday site: one folder that answers whether a window may go out, without network."""
