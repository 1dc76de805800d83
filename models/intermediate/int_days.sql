-- Days without gaps, for metrics over time: local dates, whatever the session's zone.
select cast('2000-01-01' as date) + days_since as day_on
from generate_series(0, 36524) as counted (days_since)
