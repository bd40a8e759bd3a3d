"""The checks of C{tests/properties} with generated input."""
