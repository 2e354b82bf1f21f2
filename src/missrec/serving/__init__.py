"""A recommender over HTTP: the service, and the page that explores what was learnt."""
