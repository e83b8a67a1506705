"""Money: what jobs may cost by a dated table, and the caps of tenants and billing codes by the month, over all providers."""
