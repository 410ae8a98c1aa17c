"""How good are picks? Takes `Picks` of any program."""
