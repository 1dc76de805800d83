{# The only place that knows the platform's zone and weekday. All of it is date arithmetic: an
   interval added to an instant would be an hour off twice a year. #}

{% macro local_date(instant) -%}
    cast({{ instant }} at time zone '{{ var("settlement_timezone") }}' as date)
{%- endmacro %}

{# The first instant of a local day. Where clocks are turned at midnight a day may have two of them, or none:
   a second after the last one of the day before is right for all. #}
{% macro local_midnight(local_date) -%}
    (
        (cast({{ local_date }} as timestamp) - interval '1 second') at time zone '{{ var("settlement_timezone") }}'
        + interval '1 second'
    )
{%- endmacro %}

{% macro payout_window_of(local_date) -%}
    {%- set weekdays = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'] -%}
    {%- if var('payout_window_starts_on') not in weekdays -%}
        {{ exceptions.raise_compiler_error(
            "payout_window_starts_on '" ~ var('payout_window_starts_on') ~ "' is not a weekday: write one of "
            ~ weekdays | join(', ')
        ) }}
    {%- endif -%}
    {%- set first_day = weekdays.index(var('payout_window_starts_on')) -%}
    ({{ local_date }} - cast(extract(dow from {{ local_date }} - {{ first_day }}) as integer))
{%- endmacro %}

{% macro reserve_closes_at(payout_window) -%}
    {{ local_midnight(payout_window ~ ' + ' ~ (7 + var('reserve_days') | int)) }}
{%- endmacro %}

{# The first window settled here: once something is frozen a fact, before that a setting. Without either
   every window is history. #}
{% macro settlement_start() -%}
    (
        select coalesce(min(payout_window), cast('{{ var("settlement_start") or "infinity" }}' as date))
        from {{ source('payouts', 'frozen_windows') }}
    )
{%- endmacro %}

{% macro first_unfrozen_window() -%}
    (
        select coalesce(max(payout_window) + 7, cast('{{ var("settlement_start") or "infinity" }}' as date))
        from {{ source('payouts', 'frozen_windows') }}
    )
{%- endmacro %}
