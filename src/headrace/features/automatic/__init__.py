"""Features that Headrace proposes by itself: from types, units and spread of the request, never from labels."""
