-- What a freeze asks of the years is what may still be unpaid, not everything there is.
set local role weekclose_owner;

-- Whose lines may have come free again.
create index payouts_without_money on payouts.payouts (seller_id, currency)
where status not in ('ready', 'submitted', 'paid', 'reversed', 'awaiting_reconciliation');

-- A payout pays its own window's lines, and those of each earlier window that no live payout has paid. These
-- come after the seller's last live payout, which covers all that was not covered when it was frozen; or they
-- were covered by one that is not alive any more.
create function payouts.cover(due_window date) returns void language sql as $$
    insert into payouts.payout_coverage (payout_number, payout_window)
    select due.payout_number, uncovered.payout_window
    from payouts.payouts as due
    left join lateral (
        select live.payout_window
        from payouts.payouts as live
        where
            live.seller_id = due.seller_id
            and live.currency = due.currency
            and live.payout_window < due.payout_window
            and live.request_number is null
            and live.status in ('ready', 'submitted', 'paid', 'reversed', 'awaiting_reconciliation')
        order by live.payout_window desc
        limit 1
    ) as last_live on true
    cross join lateral (
        select earlier.payout_window
        from payouts.frozen_rows as earlier
        where
            earlier.seller_id = due.seller_id
            and earlier.currency = due.currency
            and earlier.payout_window > coalesce(last_live.payout_window, '-infinity')
            and earlier.payout_window <= due.payout_window
        union
        select freed.payout_window
        from payouts.payouts as dead
        inner join payouts.payout_coverage as freed on dead.payout_number = freed.payout_number
        where
            dead.seller_id = due.seller_id
            and dead.currency = due.currency
            and dead.status not in ('ready', 'submitted', 'paid', 'reversed', 'awaiting_reconciliation')
            and not exists (
                select from payouts.payouts as live
                inner join payouts.payout_coverage as covered on live.payout_number = covered.payout_number
                where
                    live.seller_id = dead.seller_id
                    and live.currency = dead.currency
                    -- A window is covered by its own payout or by a later one.
                    and live.payout_window between freed.payout_window and due.payout_window - 1
                    and live.status in ('ready', 'submitted', 'paid', 'reversed', 'awaiting_reconciliation')
                    and covered.payout_window = freed.payout_window
            )
        -- Asked seller by seller: a join would read the years.
        offset 0
    ) as uncovered
    where due.payout_window = due_window and due.request_number is null
$$;

-- As it was, and what it covers is found by that.
create or replace function payouts.freeze_content(due_window date) returns void language plpgsql as $$
begin
    insert into payouts.frozen_rows (
        payout_window, seller_id, currency, gross, fees, refunds, net, disputes, adjustments,
        carry_in, payable, carry_out, rail, status, block_reasons, order_count, late_line_count, held
    )
    select
        payout_window, seller_id, currency, gross, fees, refunds, net, disputes, adjustments,
        carry_in, payable, carry_out, rail, status, block_reasons, order_count, late_line_count, held
    from intermediate.int_window_rows
    where payout_window = due_window;

    insert into payouts.frozen_lines (
        line_id, payout_window, seller_id, currency, order_id, kind, source_id, event_at, order_window,
        home_window, gross, fees, refunds, disputes, adjustments, source_amount
    )
    select
        line_id, payout_window, seller_id, currency, order_id, kind, source_id, event_at, order_window,
        home_window, gross, fees, refunds, disputes, 0, source_amount
    from intermediate.int_order_events
    where payout_window = due_window
    union all
    select
        line_id, payout_window, seller_id, currency, null, 'adjustment', adjustment_number, event_at,
        payout_window, payout_window, 0, 0, 0, 0, adjustments, adjustments
    from intermediate.int_adjustment_lines
    where payout_window = due_window;

    -- One payout per row with money to pay, numbered in the order of the sellers.
    insert into payouts.payouts (
        payout_window, seller_id, currency, amount, rail, destination, status, block_reasons
    )
    select
        frozen.payout_window, frozen.seller_id, frozen.currency, frozen.payable, frozen.rail, due.destination,
        frozen.status, frozen.block_reasons
    from payouts.frozen_rows as frozen
    inner join intermediate.int_window_rows as due
        on
            frozen.payout_window = due.payout_window
            and frozen.seller_id = due.seller_id
            and frozen.currency = due.currency
    where frozen.payout_window = due_window and frozen.payable > 0
    order by frozen.seller_id collate "C", frozen.currency collate "C";

    perform payouts.cover(due_window);
end
$$;
