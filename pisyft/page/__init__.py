"""The classroom page: what the coordinator knows of its Pis and of a training run, in a browser, as it happens.

`watch` collects the facts: it asks the Pis, and reads the run's events. `story` makes of the events what is shown.
`sections` hands on what has changed, `app` serves it, and `static/` shows it. Needs the extra `pisyft[page]`.
"""
