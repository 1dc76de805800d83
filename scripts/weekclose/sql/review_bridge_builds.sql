-- The build that a window's numbers are from, and the last one on an earlier local day, if the window was over.
select max(builds.as_of) as previous_as_of
from intermediate.int_builds as builds
where
    cast(builds.as_of at time zone %(zone)s as date) < cast(cast(%(as_of)s as timestamptz) at time zone %(zone)s as date)
    and cast(builds.as_of at time zone %(zone)s as date) >= cast(%(window)s as date) + 7
