{# How old the newest row was at the run's as_of: a replay of last month judges last month's feed. #}
{% macro postgres__collect_freshness(source, loaded_at_field, filter) %}
    {% call statement('collect_freshness', fetch_result=True, auto_begin=False) -%}
        select
            max({{ loaded_at_field }}) as max_loaded_at,
            {{ as_of() }} as snapshotted_at
        from {{ source }}
        where
            {{ loaded_at_field }} <= {{ as_of() }}
            and {{ loaded_at_field }} > {{ as_of() }} - interval '1440 hours'
            {%- if filter %} and {{ filter }}{% endif %}
    {% endcall %}
    {{ return(load_result('collect_freshness')) }}
{% endmacro %}
