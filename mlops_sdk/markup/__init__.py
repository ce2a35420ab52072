"""Static HTML for notebooks: `Html` is what was escaped, `element` escapes, `card` is the frame of everything shown."""
