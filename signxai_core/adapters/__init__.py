"""Shapes that other libraries expect explanations in; none of those libraries is needed."""
