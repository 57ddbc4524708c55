"""`python -m tools.dashboards`: write the dashboards of Grafana anew, from what is said of them here.

One module a dashboard says what is on it; `parts` has what they are made of, `whole` what is around it. The files are kept in
`collector-config/grafana/dashboards/`, so that nobody needs this to use them.
"""
