"""Write realistic sample studies."""
