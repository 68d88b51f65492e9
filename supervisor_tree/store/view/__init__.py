"""The journal as SQL: what is in it, in tables that anybody can ask. It can be dropped and is made anew."""
