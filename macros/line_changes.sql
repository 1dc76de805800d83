{# What a build changes in windows that were over at the build before: the difference between the lines that
   a model drops and those that it writes, found in its own transaction. Of orders only touched ones are
   looked at, so that it costs what the week costs. #}

{# Of an open window that was over when the build before spoke. #}
{% macro is_changeable(payout_window) -%}
    {{ payout_window }} >= {{ first_unfrozen_window() }}
        and {{ payout_window }} <= (
            select {{ local_date('as_of') }} - 7
            from {{ ref('int_builds') }}
            order by started_at desc
            limit 1
        )
{%- endmacro %}

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
        and {{ is_changeable('payout_window') }}
        {%- if last_build() is not none %}
        and order_id in (select order_id from {{ ref('int_touched_orders') }})
        {%- endif %}
{%- endmacro %}

{# The same of adjustments, which belong to no order. #}
{% macro changeable_adjustment_lines(lines) -%}
    select
        payout_window,
        line_id,
        seller_id,
        currency,
        cast(null as text) as order_id,
        'adjustment' as kind,
        event_at,
        false as is_late,
        adjustments as cash
    from {{ lines }}
    where {{ is_changeable('payout_window') }}
{%- endmacro %}

{# Before the lines are replaced. #}
{% macro keep_lines_before(changeable) -%}
    {%- if built_relation(this.identifier) is not none -%}
    create temporary table lines_before on commit drop as {{ changeable }}
    {%- endif -%}
{%- endmacro %}

{# After it, before the build is noted: a first build has nothing to compare with. #}
{% macro log_line_changes(changeable) -%}
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
        select 1, lines_after.* from ({{ changeable }}) as lines_after
    ) as both_sides
    group by payout_window, line_id, currency
    having sum(sign * cash) != 0 or sum(sign) != 0;
    delete from {{ ref('int_line_changes') }} where payout_window < {{ first_unfrozen_window() }} - 13 * 7
    {%- endif -%}
{%- endmacro %}
