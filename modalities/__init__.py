"""What a signal is: bytes to tensor, views, encoder. A leaf package: it imports neither pipeline nor jobs."""
