"""THE STREET: where requests come in and answers go out.

The strict, fast front (`street`), the application behind it (`app`), errors as answers (`problems`), and the
pages (`console/`).
"""
