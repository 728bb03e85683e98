# A kernel without Python face; see contexts.pyi.
