"""scikit-learn: the outermost fit of unchanged code, recorded."""
