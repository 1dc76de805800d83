-- What each seller brings into each unfrozen window, before anything of the due one is paid.
with

totals as (select * from {{ ref('int_window_totals') }}),

due as (
    select max(payout_window) as payout_window
    from {{ ref('int_open_windows') }}
    where is_due
    having max(payout_window) is not null
),

openings as (select * from {{ ref('int_seller_openings') }}),

money_before as (
    select
        seller_id,
        currency,
        opening as amount
    from openings
    union all
    select
        totals.seller_id,
        totals.currency,
        totals.gross - totals.fees - totals.refunds - totals.disputes + totals.adjustments as amount
    from totals
    inner join due on totals.payout_window < due.payout_window
),

-- Sellers without a line in the due window whose balance still has to be paid or shown.
idle as (
    select
        money_before.seller_id,
        due.payout_window,
        money_before.currency
    from money_before
    cross join due
    left join totals
        on
            money_before.seller_id = totals.seller_id
            and money_before.currency = totals.currency
            and due.payout_window = totals.payout_window
    where totals.seller_id is null
    group by money_before.seller_id, due.payout_window, money_before.currency
    having sum(money_before.amount) != 0
),

windows as (
    select
        seller_id,
        payout_window,
        currency,
        gross,
        fees,
        refunds,
        disputes,
        adjustments,
        order_count,
        late_line_count
    from totals
    union all
    select
        seller_id,
        payout_window,
        currency,
        0 as gross,
        0 as fees,
        0 as refunds,
        0 as disputes,
        0 as adjustments,
        0 as order_count,
        0 as late_line_count
    from idle
)

select
    windows.seller_id,
    windows.payout_window,
    windows.currency,
    windows.gross,
    windows.fees,
    windows.refunds,
    windows.disputes,
    windows.adjustments,
    windows.order_count,
    windows.late_line_count,
    due.payout_window as due_window,
    coalesce(openings.opening, 0) + coalesce(
        sum(windows.gross - windows.fees - windows.refunds - windows.disputes + windows.adjustments) over (
            partition by windows.seller_id, windows.currency
            order by windows.payout_window
            rows between unbounded preceding and 1 preceding
        ),
        0
    ) as brought_in
from windows
left join openings on windows.seller_id = openings.seller_id and windows.currency = openings.currency
left join due on true
