{% macro health(name) -%}
    {{ var('health')[name] }}
{%- endmacro %}

{# How far a value lies between calm (0) and alarming (1). #}
{% macro risk(value, measure) -%}
    least(1, greatest(0, ({{ value }} - {{ health(measure ~ '_from') }}) / cast({{ health(measure ~ '_span') }} as numeric)))
{%- endmacro %}
