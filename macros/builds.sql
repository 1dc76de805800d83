{# What the last build left behind, and whether this one can start from it. #}

{% macro build_settings() -%}
    {%- set settings = {} -%}
    {%- for name in ['settlement_timezone', 'payout_window_starts_on', 'reserve_days', 'raw_schema'] -%}
        {%- do settings.update({name: var(name)}) -%}
    {%- endfor -%}
    {%- if execute -%}
        {%- set start = run_query("select cast(" ~ settlement_start() ~ " as text)").rows[0][0] -%}
        {%- do settings.update({'settlement_start': start}) -%}
    {%- endif -%}
    {{ return(tojson(settings, sort_keys=true)) }}
{%- endmacro %}

{% macro built_relation(identifier) -%}
    {{ return(adapter.get_relation(target.database, generate_schema_name('intermediate', none) | trim, identifier)) }}
{%- endmacro %}

{# The last build to continue from: its as_of and start, or none when everything must be computed anew
   (nothing built yet, --full-refresh, other settings, or an as_of that lies before the last one). #}
{% macro last_build() -%}
    {%- if not execute or flags.FULL_REFRESH -%}{{ return(none) }}{%- endif -%}
    {%- set builds = built_relation('int_builds') -%}
    {%- if builds is none or built_relation('int_order_events') is none -%}{{ return(none) }}{%- endif -%}
    {%- set rows = run_query(
        "select as_of, started_at from (select * from " ~ builds ~ " order by started_at desc limit 1) as last"
        ~ " where settings = '" ~ build_settings() ~ "' and as_of <= " ~ as_of()
    ).rows -%}
    {%- if rows | length == 0 -%}{{ return(none) }}{%- endif -%}
    {{ return({'as_of': rows[0][0].isoformat(), 'started_at': rows[0][1].isoformat()}) }}
{%- endmacro %}
