"""Numbers that judge a picture: distances to content and style, and visible artifacts."""
