# Nothing here is visible from Python: see r1_offer.pyx and answer_i1.pyi.
