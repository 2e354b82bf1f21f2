"""What turns texts and images into features."""
