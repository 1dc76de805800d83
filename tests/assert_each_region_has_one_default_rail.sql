-- Every region has one rail for sellers without a wish of their own. Without one they are all blocked,
-- with two their rows are doubled.
select
    region,
    count(case when is_default then 1 end) as default_count
from {{ ref('region_rails') }}
group by region
having count(case when is_default then 1 end) != 1
