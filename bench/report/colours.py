"""The colours of methods in every figure and plot."""

# Okabe and Ito's colours without their yellow, which is too faint on white: told apart by colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
