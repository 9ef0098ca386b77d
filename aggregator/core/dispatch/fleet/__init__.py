"""Dispatch of fleets too large for one linear programme: the same problem, decomposed, with a proven gap.

- `response`      the cheapest way for one asset at a price per step, exactly, in a microsecond
- `curved`        the same where the power depends on the energy in the battery
- `population`    the same for many assets: profiles by group, and blended set-points
- `holding_response`, `holding_statement`, `interior`, `holding_population`   the same where reserves are held, by an interior-point method
- `coupling`      what ties the assets together: limits of sums of set-points, and their prices
- `master`        the linear programme over the groups' profiles, whose duals are the next prices
- `generation`    prices and profiles in turn until the gap is proven
- `ladder`        samples first, then everybody: the way from a problem to a plan
- `reserve_rows`  what the market and the sites make of reserves, as rows of the masters
- `replay`        the independent check
"""
