"""The pages. (A folder called `pages/` would break Streamlit's deep links.)"""
