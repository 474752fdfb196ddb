"""Figures, tables and the HTML page of the report: from typed artifacts to text and images."""
