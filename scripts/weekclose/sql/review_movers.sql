-- The sellers whose net changed most against the window before, ten of each currency, in hundredths.
with

nets as (
    select
        seller_id,
        currency,
        sum(case when payout_window = %(window)s then net else 0 end) as net,
        sum(case when payout_window = %(window)s then 0 else net end) as previous
    from marts.settlement_windows
    where
        payout_window in (cast(%(window)s as date), cast(%(window)s as date) - 7)
        and status != 'before_start'
    group by seller_id, currency
),

ranked as (
    select
        nets.*,
        row_number() over (
            partition by currency order by abs(net - previous) desc, seller_id collate "C"
        ) as place
    from nets
    where net != previous
)

select
    ranked.seller_id,
    coalesce(sellers.display_name, '') as name,
    ranked.currency,
    cast(100 * ranked.net as bigint) as net,
    cast(100 * ranked.previous as bigint) as previous
from ranked
left join staging.stg_sellers as sellers on ranked.seller_id = sellers.seller_id
where ranked.place <= 10
order by ranked.currency collate "C", ranked.place
