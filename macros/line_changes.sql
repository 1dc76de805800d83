{# What a build changes in windows that were over at the build before: the difference between the lines that
   int_order_events drops and those that it writes, found in its own transaction and for touched orders
   alone, so that it costs what the week costs. #}

{# The lines of `events` that this build may replace, in such windows. #}
{% macro changeable_lines(events) -%}
    select
        payout_window,
        line_id,
        seller_id,
        currency,
        order_id,
        kind,
        event_at,
        payout_window > home_window as is_late,
        gross - fees - refunds - disputes as cash
    from {{ events }}
    where
        unsettled_reason is null
        and payout_window >= {{ first_unfrozen_window() }}
        and payout_window <= (
            select {{ local_date('as_of') }} - 7
            from {{ ref('int_builds') }}
            order by started_at desc
            limit 1
        )
        {%- if last_build() is not none %}
        and order_id in (select order_id from {{ ref('int_touched_orders') }})
        {%- endif %}
{%- endmacro %}

{# Before the lines are replaced. #}
{% macro keep_lines_before(events) -%}
    {%- if built_relation('int_order_events') is not none -%}
    create temporary table lines_before on commit drop as {{ changeable_lines(events) }}
    {%- endif -%}
{%- endmacro %}

{# After it, before the build is noted: a first build has nothing to compare with. #}
{% macro log_line_changes(events) -%}
    {%- if execute and run_query("select to_regclass('pg_temp.lines_before')").rows[0][0] -%}
    insert into {{ ref('int_line_changes') }} (
        started_at, as_of, payout_window, line_id, seller_id, currency, order_id, kind, event_at, is_late,
        cash_change, line_change
    )
    select
        '{{ run_started_at.isoformat() }}',
        {{ as_of() }},
        payout_window,
        line_id,
        max(seller_id),
        currency,
        max(order_id),
        max(kind),
        max(event_at),
        bool_or(is_late),
        sum(sign * cash),
        sum(sign)
    from (
        select -1 as sign, lines_before.* from lines_before
        union all
        select 1, lines_after.* from ({{ changeable_lines(events) }}) as lines_after
    ) as both_sides
    group by payout_window, line_id, currency
    having sum(sign * cash) != 0 or sum(sign) != 0;
    delete from {{ ref('int_line_changes') }} where payout_window < {{ first_unfrozen_window() }} - 13 * 7
    {%- endif -%}
{%- endmacro %}
