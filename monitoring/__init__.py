"""What watches Freshet: Prometheus rules, and the code that writes the Grafana dashboards. No part of the service."""
