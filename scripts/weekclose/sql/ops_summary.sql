-- What there is to do, by measure, state and currency: amounts in hundredths, ages in hours.
select
    measure,
    state,
    currency,
    item_count,
    cast(100 * amount as bigint) as amount,
    oldest_since,
    cast(extract(epoch from oldest_age) / 3600 as integer) as oldest_hours
from marts.ops_summary
order by measure collate "C", state collate "C", currency collate "C"
