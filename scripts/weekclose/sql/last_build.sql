-- The instant the marts speak for.
select as_of
from intermediate.int_builds
order by started_at desc
limit 1
