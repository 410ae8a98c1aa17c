"""The parts of `benchmarks/kill_campaign.py`: commands, how they are killed, and what must hold afterwards."""
