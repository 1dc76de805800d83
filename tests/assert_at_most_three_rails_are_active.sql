{{ config(severity='warn') }}
-- At most three rails are active: each one more is a provider to fund, to watch and to reconcile. A
-- warning, because a migration from one rail to another needs a fourth for some weeks. MANUAL is no
-- provider: what is on it, a person sends by hand and proves.
select count(distinct rail) as rail_count
from {{ ref('region_rails') }}
where rail != 'MANUAL'
having count(distinct rail) > 3
