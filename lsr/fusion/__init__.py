"""Lists of hits become one."""
