"""Drawing: grids of pictures, text, heat maps, charts, films and HTML."""
