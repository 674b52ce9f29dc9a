"""The inventory: reads the administrator's file into one validated object per host."""
