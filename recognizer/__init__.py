"""recognizer trains and compares micro-expression recognisers on multi-view datasets that mvgen has built."""
