"""No machine is ever imaged twice, whatever is killed, lost, full or broken meanwhile.

`zygote` forks services that `failpoints` kill at named places; `machine` boots in a loop over a bad network; `sniffer`
records every packet and what the database said at that moment, and `oracle` judges both. No test trusts the server's
own log. All of it lives in a network namespace of its own (`conftest`).
"""
